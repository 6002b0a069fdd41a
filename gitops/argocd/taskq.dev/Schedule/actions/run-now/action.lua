-- Every new value asks for one run; it obeys spec.concurrencyPolicy.
local os = require("os")
local metadata = obj.metadata
metadata.annotations = metadata.annotations or {}
metadata.annotations["taskq.dev/run-now"] = "argo-cd-" .. os.time()
return obj
