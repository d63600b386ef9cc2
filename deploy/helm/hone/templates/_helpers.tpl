{{- define "hone.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* Shorter than the 63 letters of a label by what a StatefulSet appends to the names of its pods' revisions. */}}
{{- define "hone.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "hone.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "hone.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "hone.selector" -}}
app.kubernetes.io/name: {{ include "hone.name" . }}
app.kubernetes.io/instance: {{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "hone.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{ include "hone.selector" . }}
{{- end }}

{{- define "hone.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "hone.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{- define "hone.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* A number as honed reads it: a large one comes from YAML as 1.099511627776e+12. */}}
{{- define "hone.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ printf "%.0f" . }}{{ else }}{{ toString . }}{{ end }}
{{- end }}

{{/* For the server and for what runs before it. */}}
{{- define "hone.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
runAsNonRoot: true
{{- end }}

{{/* What no schema can say: settings that depend on each other. */}}
{{- define "hone.check" -}}
{{- if and (not .Values.tls.secretName) (not .Values.insecureListen) }}
{{- fail "tls.secretName: must name a Secret with tls.crt and tls.key; or set insecureListen=true, and everybody who reaches the service may use it" }}
{{- end }}
{{- if and .Values.tls.secretName .Values.insecureListen }}
{{- fail "insecureListen: must be false where tls.secretName is set" }}
{{- end }}
{{- if and .Values.tls.clientCaSecretName (not .Values.tls.secretName) }}
{{- fail "tls.clientCaSecretName: needs tls.secretName: certificates of clients are shown over TLS only" }}
{{- end }}
{{- if and .Values.tls.secretName (not .Values.tls.clientCaSecretName) (not .Values.firstToken.enabled) .Release.IsInstall }}
{{- fail "firstToken.enabled: must be true for a first start without tls.clientCaSecretName: the server would not know who calls and would not start" }}
{{- end }}
{{- end }}
