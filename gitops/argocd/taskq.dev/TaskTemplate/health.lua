-- Healthy once a dry run of its Job has passed.
local status = obj.status or {}
local health = {status = "Progressing", message = "Waits for the operator"}
if status.observedGeneration ~= obj.metadata.generation then
  return health
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    health.status = condition.status == "True" and "Healthy" or "Degraded"
    health.message = condition.message
  end
end
return health
