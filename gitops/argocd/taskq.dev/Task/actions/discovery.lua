local status = obj.status or {}
local over = status.phase == "Succeeded" or status.phase == "Failed" or status.phase == "Expired" or status.phase == "Cancelled"
return {cancel = {disabled = over or obj.spec.cancellation ~= nil}}
