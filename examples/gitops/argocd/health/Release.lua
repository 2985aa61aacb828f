-- The health of a Release: an attempt that ended without need of it (superseded, cancelled, no difference, refused) is not a failure.
-- Argo CD gives a script the table `obj` and of Lua's libraries only the basic one and `table`.
local ended = {
  Promoted = "Healthy",
  Superseded = "Healthy",
  Cancelled = "Healthy",
  Inconclusive = "Healthy",
  Refused = "Healthy",
  Rejected = "Degraded",
  RolledBack = "Degraded",
  Failed = "Degraded",
}
local status = obj.status or {}
local phase = status.phase

if phase == nil or (status.observedGeneration or 0) < (obj.metadata.generation or 0) then
  return {status = "Progressing", message = "Trimtab has not looked at it yet"}
end
local said = status.outcome or status
local message = phase
if said.sentence ~= nil and said.sentence ~= "" then
  message = phase .. ": " .. said.sentence
end
if ended[phase] ~= nil then
  return {status = ended[phase], message = message}
end
if phase == "AwaitingApproval" then
  return {status = "Suspended", message = message}
end
if status.paused ~= nil and phase ~= "Withdrawing" then
  return {status = "Suspended", message = phase .. ": " .. status.paused.sentence}
end
return {status = "Progressing", message = message}
