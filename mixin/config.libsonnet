{
  _config+:: {
    // Matchers for every series of the program, such as 'farm="north"'. Empty: none.
    selector: '',

    // Thresholds that differ from alerts/thresholds.yml, such as { hashrate_ratio: 0.8 }.
    // The boards keep drawing the defaults.
    thresholds: {},

    // The page of an alert; %s is the alert's name.
    runbookURLPattern: 'https://github.com/brndnmtthws/mother-of-dragons/blob/main/docs/runbooks/%s.md',

    // The Grafana that links in alerts point to.
    grafanaURL: 'http://localhost:3000',
  },
}
