# What an AWS account needs to trust a broker: its issuer as an identity provider, roles that its tokens for one
# target may assume, and, where wanted, a role that writes denials on them and does nothing else.

data "aws_caller_identity" "current" {}
data "aws_partition" "current" {}

locals {
  issuer_host  = trimprefix(var.issuer_url, "https://")
  provider_arn = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:oidc-provider/${local.issuer_host}"
  subject      = "hallpass:target:${var.target_name}"

  attachments = merge([
    for name, role in var.roles : {
      for arn in role.policy_arns : "${name} ${arn}" => { role = name, policy_arn = arn }
    }
  ]...)
}

# Without a thumbprint: IAM trusts the certificate authorities that it knows, and the issuer's is one of them.
resource "aws_iam_openid_connect_provider" "hallpass" {
  count = var.create_identity_provider ? 1 : 0

  url            = var.issuer_url
  client_id_list = [var.audience]
  tags           = var.tags
}

data "aws_iam_policy_document" "trust" {
  statement {
    sid = "HallpassSessions"
    actions = [
      "sts:AssumeRoleWithWebIdentity",
      "sts:TagSession",
      "sts:SetSourceIdentity",
    ]

    principals {
      type        = "Federated"
      identifiers = [local.provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer_host}:aud"
      values   = [var.audience]
    }

    condition {
      test     = "StringEquals"
      variable = "${local.issuer_host}:sub"
      values   = [local.subject]
    }

    # A session whose lease CloudTrail cannot name is not one of ours.
    condition {
      test     = "StringLike"
      variable = "sts:SourceIdentity"
      values   = ["hp_*"]
    }
  }
}

resource "aws_iam_role" "granted" {
  for_each = var.roles

  name                 = each.key
  path                 = var.path
  description          = "Assumed by Hallpass, one session a task"
  assume_role_policy   = data.aws_iam_policy_document.trust.json
  max_session_duration = each.value.max_session_duration
  permissions_boundary = var.permissions_boundary
  tags                 = var.tags

  depends_on = [aws_iam_openid_connect_provider.hallpass]
}

resource "aws_iam_role_policy_attachment" "granted" {
  for_each = local.attachments

  role       = aws_iam_role.granted[each.value.role].name
  policy_arn = each.value.policy_arn
}

# Its name does not begin with the broker's mark (hp_), so that the broker never takes it for one of its own.
resource "aws_iam_role_policy" "granted" {
  for_each = { for name, role in var.roles : name => role.inline_policy if role.inline_policy != null }

  name   = "permissions"
  role   = aws_iam_role.granted[each.key].id
  policy = each.value
}
