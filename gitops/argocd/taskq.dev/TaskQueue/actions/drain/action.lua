obj.spec = obj.spec or {}
obj.spec.state = "Draining"
return obj
