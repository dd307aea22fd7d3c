-- Health of a MatchCluster for Argo CD: what `kubectl get matchcluster` shows, in Argo CD's words.
local status = obj.status or {}
if obj.metadata.deletionTimestamp ~= nil then
  return {status = "Progressing", message = "it is being deleted"}
end
if status.phase == nil or status.observedGeneration ~= obj.metadata.generation then
  return {status = "Progressing", message = "the operator has not seen the newest spec yet"}
end
local found = {}
for _, condition in ipairs(status.conditions or {}) do
  found[condition.type] = condition
end
local function holds(kind)
  return found[kind] ~= nil and found[kind].status == "True"
end
local function said(kind)
  return found[kind] ~= nil and found[kind].message or ""
end
if status.phase == "Paused" then
  return {status = "Suspended", message = "spec.paused is true; " .. said("Ready")}
end
if holds("Stalled") then
  return {status = "Degraded", message = said("Stalled")}
end
if status.phase == "Degraded" and not holds("Ready") then
  return {status = "Degraded", message = said("Ready")}
end
if holds("Reconciling") or not holds("Ready") then
  return {status = "Progressing", message = said("Reconciling")}
end
return {status = "Healthy", message = said("Ready")}
