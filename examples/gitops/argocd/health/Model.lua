-- The health of a Model: whether a version serves, and whether Trimtab has looked at what was applied.
-- Argo CD gives a script the table `obj` and of Lua's libraries only the basic one and `table`.
local status = obj.status or {}
local conditions = {}
for _, condition in ipairs(status.conditions or {}) do
  conditions[condition.type] = condition
end
local ready, stalled, last = conditions.Ready, conditions.Stalled, status.lastRelease

if ready == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 0) then
  return {status = "Progressing", message = "Trimtab has not looked at it yet"}
end
if stalled ~= nil and stalled.status == "True" then
  return {status = "Degraded", message = stalled.message}
end
if ready.status == "True" then
  return {status = "Healthy", message = ready.message}
end
if ready.reason == "NotServing" then
  return {status = "Degraded", message = ready.message}
end
if last ~= nil and last.phase == "AwaitingApproval" then
  return {status = "Suspended", message = "Release " .. last.name .. " waits for a person's approval"}
end
if last ~= nil then
  return {status = "Progressing", message = ready.message .. "; Release " .. last.name .. ": " .. last.phase}
end
return {status = "Progressing", message = ready.message}
