local select = import 'select.libsonnet';

local groups(files) = std.flattenArrays([std.parseYaml(file).groups for file in files]);

local rules = groups([
  importstr '../alerts/thresholds.yml',
  importstr '../alerts/recording.yml',
  importstr '../alerts/dashboards.yml',
]);

local alerts = groups([
  importstr '../alerts/dragon.yml',
  importstr '../alerts/pool.yml',
  importstr '../alerts/fleet.yml',
  importstr '../alerts/healer.yml',
  importstr '../alerts/exporter.yml',
]);

// The default of each threshold, by its name.
local defaults = {
  [std.substr(rule.record, std.length('threshold:'), std.length(rule.record))]: rule.expr
  for group in rules
  for rule in group.rules
  if std.startsWith(rule.record, 'threshold:')
};

local inEachRule(groups, f) = [group { rules: [f(rule) for rule in group.rules] } for group in groups];

{
  local config = self._config,

  assert std.all([
    if std.objectHas(defaults, name) then true else error 'thresholds: alerts/thresholds.yml has no %s' % name
    for name in std.objectFields(config.thresholds)
  ]),

  prometheusRules+:: {
    groups+: inEachRule(rules, function(rule) rule {
      local name = std.strReplace(rule.record, 'threshold:', ''),
      expr: if rule.record != name && std.objectHas(config.thresholds, name)
      then 'vector(%g)' % config.thresholds[name]
      else select(rule.expr, config.selector),
    }),
  },

  prometheusAlerts+:: {
    groups+: inEachRule(alerts, function(rule) rule {
      expr: select(rule.expr, config.selector),
      annotations+: {
        dashboard_url: std.strReplace(super.dashboard_url, 'http://localhost:3000', config.grafanaURL),
        runbook_url: config.runbookURLPattern % rule.alert,
      },
    }),
  },
}
