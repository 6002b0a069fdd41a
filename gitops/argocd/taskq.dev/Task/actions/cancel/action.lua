-- Gently: what runs gets SIGTERM and its grace period. The record of the Task stays.
obj.spec.cancellation = {mode = "Graceful", reason = "cancelled in Argo CD"}
return obj
