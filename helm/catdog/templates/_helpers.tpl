{{/* Labels of every object of this chart. `component` must not be "worker": that selects pods of runs. */}}
{{- define "catdog.labels" -}}
app.kubernetes.io/name: catdog
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: platform
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that select the pods of runs. */}}
{{- define "catdog.workers" -}}
app.kubernetes.io/name: catdog
app.kubernetes.io/component: worker
{{- end }}

{{/* Name of the Secret by which the workers of a run recognise each other; empty: none. */}}
{{- define "catdog.gangSecret" -}}
{{- if .Values.gangSecret.enabled }}{{ .Values.gangSecret.existingSecret | default "catdog-gang" }}{{ end }}
{{- end }}

{{/* The settings that `catdog submit` reads: keys as in k8s/settings/platform.py. */}}
{{- define "catdog.platform" -}}
schema: 1
image: {{ required "image is required: --set image=REPOSITORY:TAG" .Values.image | quote }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
imagePullSecrets: {{ toJson .Values.imagePullSecrets }}
recipe: {{ .Values.recipe }}
weights: {{ .Values.weights | quote }}
data: {{ .Values.data | quote }}
runs: {{ .Values.runs | quote }}
serviceAccount: {{ .Values.serviceAccount.name | quote }}
nodeSelector: {{ toJson .Values.nodeSelector }}
tolerations: {{ toJson .Values.tolerations }}
resources: {{ toJson .Values.resources }}
sharedMemory: {{ .Values.sharedMemory | quote }}
gpu: {{ toJson .Values.gpu }}
gpusPerNode: {{ int .Values.gpusPerNode }}
queue: {{ .Values.queue | quote }}
priorityClass: {{ .Values.priorityClass | quote }}
shape: {{ .Values.shape }}
maxRestarts: {{ int .Values.maxRestarts }}
activeDeadlineSeconds: {{ int .Values.activeDeadlineSeconds }}
ttlSecondsAfterFinished: {{ int .Values.ttlSecondsAfterFinished }}
metricsPort: {{ int .Values.metricsPort }}
pricePerGpuHour: {{ .Values.pricePerGpuHour | toJson }}
pricePerCpuHour: {{ .Values.pricePerCpuHour | toJson }}
currency: {{ .Values.currency | quote }}
storageCidrs: {{ toJson .Values.storageCidrs }}
tokenAudience: {{ .Values.tokenAudience | quote }}
gangSecret: {{ include "catdog.gangSecret" . | quote }}
extraEnv: {{ toJson .Values.extraEnv }}
extraVolumes: {{ toJson .Values.extraVolumes }}
extraVolumeMounts: {{ toJson .Values.extraVolumeMounts }}
overlay: {{ toJson .Values.overlay }}
nodesReadable: {{ .Values.rbac.nodes }}
{{- end }}

{{/* Whether to create an object of monitoring.coreos.com: (dict "when" true|false|"auto" "kind" "PodMonitor" "root" .) */}}
{{- define "catdog.monitored" -}}
{{- if kindIs "bool" .when }}{{ if .when }}yes{{ end }}
{{- else if .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) }}yes{{ end }}
{{- end }}
