{{- define "mother.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of all objects. A StatefulSet's pods add -0 and a hash to it. */}}
{{- define "mother.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" }}
{{- else if contains (include "mother.name" .) .Release.Name }}
{{- .Release.Name | trunc 52 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "mother.name" .) | trunc 52 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "mother.selector" -}}
app.kubernetes.io/name: {{ include "mother.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "mother.labels" -}}
{{ include "mother.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "mother.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "mother.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* The configuration file. */}}
{{- define "mother.config" -}}
{{- $config := deepCopy .Values.config }}
{{- if not (or $config.networks $config.dragons) }}
{{- fail "config.networks: name the networks of your dragons, such as [{cidr: 192.0.2.0/24}]" }}
{{- end }}
{{- if hasKey $config "data_dir" }}
{{- fail "config.data_dir: leave it out, the volume is mounted where the program expects it" }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* The etcd endpoints of the configuration; of a pair only. */}}
{{- define "mother.endpoints" -}}
{{- if .Values.ha.enabled }}
{{- $endpoints := dig "ha" "etcd" "endpoints" list .Values.config }}
{{- if not $endpoints }}
{{- fail "ha.enabled: name your etcd in config.ha.etcd.endpoints" }}
{{- end }}
{{- toYaml $endpoints }}
{{- else if dig "ha" "etcd" "endpoints" list .Values.config }}
{{- fail "config.ha.etcd.endpoints: set ha.enabled too" }}
{{- end }}
{{- end }}

{{/* The names by which other pods reach the program. It refuses unknown ones. */}}
{{- define "mother.hosts" -}}
{{- $name := include "mother.fullname" . }}
{{- $names := list $name }}
{{- range $suffix := list "" ".svc" (printf ".svc.%s" .Values.clusterDomain) }}
{{- $names = append $names (printf "%s.%s%s" $name $.Release.Namespace $suffix) }}
{{- $names = append $names (printf ".%s-pods.%s%s" $name $.Release.Namespace $suffix) }}
{{- end }}
{{- join "," (concat $names .Values.web.allowedHosts) }}
{{- end }}

{{/* What a ServiceMonitor and a PodMonitor have in common: one pod reads the dragons for
Prometheus, and of the others only their own series are read. Else every series exists twice. */}}
{{- define "mother.endpoint" -}}
interval: {{ .monitor.interval }}
scrapeTimeout: {{ .monitor.scrapeTimeout }}
{{- if eq .root.Values.web.scheme "https" }}
scheme: https
{{- end }}
{{- with .monitor.tlsConfig }}
tlsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.basicAuth }}
basicAuth:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- if not .dragons }}
params:
  collect[]: [program]
{{- end }}
{{- $relabelings := .monitor.relabelings }}
{{- if .root.Values.ha.enabled }}
{{- $relabelings = prepend $relabelings (dict
    "sourceLabels" (list "__meta_kubernetes_pod_name")
    "regex" (printf "%s-%d" (include "mother.fullname" .root) (int .root.Values.ha.readBy))
    "action" (ternary "keep" "drop" .dragons)) }}
{{- end }}
{{- with $relabelings }}
relabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .monitor.metricRelabelings }}
metricRelabelings:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
