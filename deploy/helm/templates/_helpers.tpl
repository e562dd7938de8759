{{- define "rollcall.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "rollcall.fullname" -}}
{{- $name := include "rollcall.name" . }}
{{- if .Values.fullnameOverride }}{{ .Values.fullnameOverride | trunc 63 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}
{{- else }}{{ printf "%s-%s" .Release.Name $name | trunc 63 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "rollcall.namespace" -}}
{{- default .Release.Namespace .Values.namespaceOverride }}
{{- end }}

{{- define "rollcall.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "rollcall.fullname" .) .Values.serviceAccount.name }}
{{- else }}{{ default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "rollcall.selectorLabels" -}}
app.kubernetes.io/name: {{ include "rollcall.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "rollcall.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "rollcall.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- if .Values.releaseLabel }}
release: {{ .Release.Name }}
{{- end }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The metadata of an object, without annotations: name, namespace and common labels. */}}
{{- define "rollcall.metadata" -}}
name: {{ include "rollcall.fullname" . }}
namespace: {{ include "rollcall.namespace" . }}
labels:
  {{- include "rollcall.labels" . | nindent 2 }}
{{- end }}

{{- define "rollcall.image" -}}
{{- with (.Values.global.imageRegistry | default .Values.image.registry) }}{{ . }}/{{ end }}
{{- .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- with .Values.image.digest }}@{{ . }}{{ end }}
{{- end }}

{{/* What the configuration is mounted from: a volume, or nothing without configuration. */}}
{{- define "rollcall.configVolume" -}}
{{- if and .Values.secretConfig .Values.config }}
secret:
  secretName: {{ include "rollcall.fullname" . }}
{{- else if .Values.configExistingSecretName }}
secret:
  secretName: {{ .Values.configExistingSecretName }}
{{- else if .Values.config }}
configMap:
  name: {{ include "rollcall.fullname" . }}
{{- end }}
{{- end }}

{{/* A value that is a list, or a text with templates. */}}
{{- define "rollcall.listOrText" -}}
{{- if kindIs "string" .value }}{{ tpl .value .root }}{{ else }}{{ toYaml .value }}{{ end }}
{{- end }}
