{{/* The name of the chart, by which selectors find Muster's pods. */}}
{{- define "muster.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{/* The name of the objects: the release's, with the chart's if it is not part of it. */}}
{{- define "muster.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- $name := include "muster.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "muster.selectorLabels" -}}
app.kubernetes.io/name: {{ include "muster.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "muster.labels" -}}
{{ include "muster.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{- define "muster.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "muster.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* Whom roles are given to. */}}
{{- define "muster.subject" -}}
- kind: ServiceAccount
  name: {{ include "muster.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end }}

{{- define "muster.image" -}}
{{- if .Values.image.digest }}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else }}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end }}
{{- end }}

{{/* "true" where a leader is elected. */}}
{{- define "muster.elects" -}}
{{- $election := default dict .Values.config.leaderElection }}
{{- if and (hasKey $election "leaderElect") (not $election.leaderElect) }}
{{- if gt (int .Values.replicaCount) 1 }}
{{- fail "config.leaderElection.leaderElect is off, so replicaCount must be 1: two Musters that both schedule undo each other's work" }}
{{- end }}
{{- else }}true
{{- end }}
{{- end }}

{{- define "muster.leaseName" -}}
{{- default (include "muster.fullname" .) (default dict .Values.config.leaderElection).resourceName }}
{{- end }}

{{- define "muster.leaseNamespace" -}}
{{- default .Release.Namespace (default dict .Values.config.leaderElection).resourceNamespace }}
{{- end }}

{{/* Muster's configuration file: two documents. */}}
{{- define "muster.configuration" -}}
{{- $election := dict "leaderElection" (dict "resourceName" (include "muster.leaseName" .)) -}}
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
{{ toYaml (mustMergeOverwrite $election (deepCopy .Values.config)) }}
---
apiVersion: muster.dev/v1alpha1
kind: MusterConfiguration
{{- with .Values.musterConfig }}
{{ toYaml . }}
{{- end }}
{{- end }}
