variable "issuer_url" {
  description = "The broker's URL as its tokens state it in iss: https, without a slash at its end. AWS reads its keys there."
  type        = string

  validation {
    condition     = can(regex("^https://[^/]+(/.*[^/])?$", var.issuer_url))
    error_message = "Write an https URL without a slash at its end."
  }
}

variable "create_identity_provider" {
  description = "Whether to make the identity provider in this account. False where another module, or another instance of this one, has made it."
  type        = bool
  default     = true
}

variable "audience" {
  description = "The audience of the broker's tokens: credentials.audience of the target."
  type        = string
  default     = "sts.amazonaws.com"
}

variable "target_name" {
  description = "The target's name in the broker's configuration. The broker's tokens for it have the subject hallpass:target:<name>, and no other target can assume these roles."
  type        = string

  validation {
    condition     = can(regex("^[A-Za-z0-9][A-Za-z0-9._-]*$", var.target_name))
    error_message = "Write the name as it stands under targets."
  }
}

variable "roles" {
  description = "The roles that grants may name: what each may do at the most, as the ARNs of managed policies and an inline policy in JSON. A grant's session policy narrows it further."
  type = map(object({
    policy_arns          = optional(list(string), [])
    inline_policy        = optional(string)
    max_session_duration = optional(number, 3600)
  }))

  validation {
    condition = alltrue([
      for role in values(var.roles) : role.max_session_duration >= 3600 && role.max_session_duration <= 43200
    ])
    error_message = "max_session_duration lies between 3600 and 43200 seconds."
  }
}

variable "path" {
  description = "The path of the roles."
  type        = string
  default     = "/hallpass/"

  validation {
    condition     = can(regex("^/([A-Za-z0-9_-]+/)*$", var.path))
    error_message = "Begin and end the path with a slash."
  }
}

variable "allow_denial" {
  description = "Whether the broker may end sessions before their time, by inline policies on these roles. Adds a role for that alone."
  type        = bool
  default     = false
}

variable "permissions_boundary" {
  description = "The ARN of a policy that bounds all roles made here, or null."
  type        = string
  default     = null
}

variable "tags" {
  description = "Tags of everything made here."
  type        = map(string)
  default     = {}
}
