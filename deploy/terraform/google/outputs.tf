output "workload_identity_provider" {
  description = "The setting of the same name in the target's configuration"
  value       = google_iam_workload_identity_pool_provider.broker.name
}
