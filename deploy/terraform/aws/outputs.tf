output "role_arns" {
  description = "The roles by name: role_arn of a grant's scope, and denial.roles of the target."
  value       = { for name, role in aws_iam_role.granted : name => role.arn }
}

output "denial_role_arn" {
  description = "denial.via_role_arn of the target, or null."
  value       = var.allow_denial ? aws_iam_role.denial[0].arn : null
}

output "identity_provider_arn" {
  description = "The broker's issuer in this account."
  value       = local.provider_arn
}
