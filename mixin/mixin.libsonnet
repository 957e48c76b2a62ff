// The rules of alerts/ and the boards of dashboards/, with a few things that can be changed.
// Without changes they are what is shipped: tools/mixin tests that.
(import 'config.libsonnet') +
(import 'rules.libsonnet') +
(import 'dashboards.libsonnet')
