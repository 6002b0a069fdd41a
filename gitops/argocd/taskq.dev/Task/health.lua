-- Progressing until the Task has ended, then what came of it.
--
-- Ordinary waiting writes no status, so a Task that the operator has not written to may just stand in its queue. One
-- that was cancelled is Healthy: somebody wanted that.
local status = obj.status or {}
local now = {}
for _, condition in ipairs(status.conditions or {}) do
  if condition.status == "True" then
    now[condition.type] = condition
  end
end

local function says(health, condition)
  return {status = health, message = condition.reason .. ": " .. condition.message}
end

local seen = status.observedGeneration == obj.metadata.generation
if now.Finished ~= nil then
  return says(now.Stalled ~= nil and "Degraded" or "Healthy", now.Finished)
end
if seen and now.Stalled ~= nil then
  return says("Degraded", now.Stalled)
end
if obj.spec.suspend == true and status.phase ~= "Running" then
  return {status = "Suspended", message = "spec.suspend is true: it waits until that is false"}
end
if seen and now.Stuck ~= nil then
  return says("Progressing", now.Stuck)
end
if seen and now.Reconciling ~= nil then
  return says("Progressing", now.Reconciling)
end
return {status = "Progressing", message = "Waits in its queue, or for the operator"}
