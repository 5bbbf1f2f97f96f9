# Lets a Hallpass broker make tokens for chosen service accounts by workload identity federation: no keys anywhere.

terraform {
  required_version = ">= 1.5"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 5.0"
    }
  }
}

locals {
  # The subject of the broker's tokens for this target.
  subject = "hallpass:target:${var.target}"
}

resource "google_project_service" "needed" {
  for_each           = toset(["iam.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"])
  project            = var.project
  service            = each.key
  disable_on_destroy = false
}

resource "google_iam_workload_identity_pool" "hallpass" {
  project                   = var.project
  workload_identity_pool_id = var.pool
  display_name              = "Hallpass"
  description               = "Brokers that make short-lived tokens for one task"
  depends_on                = [google_project_service.needed]
}

resource "google_iam_workload_identity_pool_provider" "broker" {
  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.hallpass.workload_identity_pool_id
  workload_identity_pool_provider_id = "broker"
  attribute_mapping                  = { "google.subject" = "assertion.sub" }
  # Other targets of the same broker stay out.
  attribute_condition = "assertion.sub == '${local.subject}'"

  oidc {
    issuer_uri = var.broker_url
    # For a broker that Google cannot reach: its key set, to be renewed before each rotation.
    jwks_json = var.jwks_json
  }
}

# On each account alone: on the project it would be every account there is.
resource "google_service_account_iam_member" "token_creator" {
  for_each           = var.service_accounts
  service_account_id = "projects/${var.project}/serviceAccounts/${each.key}"
  role               = google_project_iam_custom_role.token_creator.id
  member             = "principal://iam.googleapis.com/${google_iam_workload_identity_pool.hallpass.name}/subject/${local.subject}"
}

# roles/iam.serviceAccountTokenCreator would let the broker sign as the account too.
resource "google_project_iam_custom_role" "token_creator" {
  project     = var.project
  role_id     = "hallpassTokenCreator"
  title       = "Hallpass token creator"
  permissions = ["iam.serviceAccounts.getAccessToken", "iam.serviceAccounts.getOpenIdToken"]
}
