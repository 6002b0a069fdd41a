-- Healthy while the operator serves the queue, whatever its spec.state: Suspended would hold the waves of its application.
--
-- Nor does a queue that is stuck become Degraded: that would stop the very sync that gives it room. The message tells.
local status = obj.status or {}
local health = {status = "Progressing", message = "Waits for the operator"}
if status.observedGeneration ~= obj.metadata.generation then
  return health
end
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready, accepting, stuck = conditions.Ready, conditions.Accepting, conditions.Stuck
if ready == nil then
  return health
end
if ready.status ~= "True" then
  return {status = "Degraded", message = ready.message}
end
health.status = "Healthy"
health.message = accepting ~= nil and accepting.message or ready.message
if stuck ~= nil and stuck.status == "True" then
  health.message = "Stuck: " .. stuck.message
end
return health
