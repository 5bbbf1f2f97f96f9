# The role by which the broker ends sessions before their time: denial.via_role_arn of the target.

data "aws_iam_policy_document" "denial_trust" {
  count = var.allow_denial ? 1 : 0

  statement {
    sid     = "HallpassDenials"
    actions = ["sts:AssumeRoleWithWebIdentity"]

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
  }
}

# IAM has no condition on what a policy says: whoever may write an inline policy could also allow. The boundary of the
# granted roles is what holds him, so set permissions_boundary with allow_denial.
data "aws_iam_policy_document" "denial" {
  count = var.allow_denial ? 1 : 0

  statement {
    sid       = "DenySessions"
    actions   = ["iam:ListRolePolicies", "iam:PutRolePolicy", "iam:DeleteRolePolicy"]
    resources = [for role in aws_iam_role.granted : role.arn]
  }
}

resource "aws_iam_role" "denial" {
  count = var.allow_denial ? 1 : 0

  name                 = "hallpass-denial-${var.target_name}"
  path                 = var.path
  description          = "Assumed by Hallpass to deny sessions that have ended"
  assume_role_policy   = data.aws_iam_policy_document.denial_trust[0].json
  max_session_duration = 3600
  tags                 = var.tags

  lifecycle {
    precondition {
      condition     = var.permissions_boundary != null
      error_message = "Set permissions_boundary with allow_denial: it keeps whoever writes denials from writing anything else that counts."
    }
  }

  depends_on = [aws_iam_openid_connect_provider.hallpass]
}

resource "aws_iam_role_policy" "denial" {
  count = var.allow_denial ? 1 : 0

  name   = "deny-sessions"
  role   = aws_iam_role.denial[0].id
  policy = data.aws_iam_policy_document.denial[0].json
}
