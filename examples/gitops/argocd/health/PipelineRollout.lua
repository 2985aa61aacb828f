-- The health of a PipelineRollout: degraded where it halted by itself, because too many Models did worse with the new version.
-- Argo CD gives a script the table `obj` and of Lua's libraries only the basic one and `table`.
local health = {Complete = "Healthy", Reverted = "Healthy", Superseded = "Healthy", Halted = "Degraded"}
local status = obj.status or {}
local phase = status.phase

if phase == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 0) then
  return {status = "Progressing", message = "Trimtab has not looked at it yet"}
end
local message = phase
if status.sentence ~= nil and status.sentence ~= "" then
  message = phase .. ": " .. status.sentence
end
if phase == "Halted" and status.reason == "HaltedByPerson" then
  return {status = "Suspended", message = message}
end
return {status = health[phase] or "Progressing", message = message}
