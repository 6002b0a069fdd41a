local state = obj.spec ~= nil and obj.spec.state or "Open"
return {
  pause = {disabled = state == "Paused"},
  drain = {disabled = state == "Draining"},
  resume = {disabled = state == "Open"},
}
