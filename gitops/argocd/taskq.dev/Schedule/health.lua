-- Healthy while its Tasks are created in time; Degraded when they can't be, or when the last one failed.
--
-- A suspended Schedule is Healthy: Suspended would hold the waves of its application.
local status = obj.status or {}
local health = {status = "Progressing", message = "Waits for the operator"}
if status.observedGeneration ~= obj.metadata.generation then
  return health
end
local ready
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Ready" then
    ready = condition
  end
end
if ready == nil then
  return health
end
if ready.status ~= "True" then
  return {status = "Degraded", message = ready.message}
end
health.status = "Healthy"
health.message = ready.message
if ready.reason ~= "Suspended" and (status.lastResult == "Failed" or status.lastResult == "Expired") then
  health.status = "Degraded"
  health.message = "Its last run ended as " .. status.lastResult
  if status.consecutiveFailures ~= nil and status.consecutiveFailures > 1 then
    health.message = health.message .. ", " .. status.consecutiveFailures .. " failures in a row"
  end
end
return health
