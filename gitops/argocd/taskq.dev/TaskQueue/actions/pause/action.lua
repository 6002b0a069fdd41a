obj.spec = obj.spec or {}
obj.spec.state = "Paused"
return obj
