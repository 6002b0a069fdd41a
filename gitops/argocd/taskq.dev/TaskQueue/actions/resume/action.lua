obj.spec = obj.spec or {}
obj.spec.state = "Open"
return obj
