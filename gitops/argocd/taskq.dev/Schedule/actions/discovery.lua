local suspended = obj.spec.suspend == true
return {
  ["run-now"] = {disabled = false},
  suspend = {disabled = suspended},
  resume = {disabled = not suspended},
}
