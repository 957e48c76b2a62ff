local select = import 'select.libsonnet';

// every selects in all queries of a board.
local every(value, selector) =
  if std.isArray(value) then [every(v, selector) for v in value]
  else if std.isObject(value) then {
    [key]: if std.isString(value[key]) && std.member(['expr', 'query', 'definition'], key)
    then select(value[key], selector)
    else every(value[key], selector)
    for key in std.objectFields(value)
  }
  else value;

{
  local config = self._config,

  grafanaDashboards+:: {
    [file]: every(boards[file], config.selector)
    for file in std.objectFields(boards)
  },

  local boards = {
    'fleet.json': import '../dashboards/fleet.json',
    'dragon.json': import '../dashboards/dragon.json',
    'healer.json': import '../dashboards/healer.json',
    'exporter.json': import '../dashboards/exporter.json',
  },
}
