variable "project" {
  description = "The project of the pool and of the service accounts"
  type        = string
}

variable "broker_url" {
  description = "broker.url of the configuration: the issuer of the broker's tokens"
  type        = string

  validation {
    condition     = startswith(var.broker_url, "https://") && !endswith(var.broker_url, "/")
    error_message = "Write it as the broker's configuration does: https, and no slash at its end."
  }
}

variable "target" {
  description = "The target's name in the broker's configuration"
  type        = string
}

variable "service_accounts" {
  description = "E-mail addresses of the service accounts that grants name"
  type        = set(string)
}

variable "pool" {
  description = "Id of the workload identity pool"
  type        = string
  default     = "hallpass"
}

variable "jwks_json" {
  description = "The broker's key set, where Google cannot read it at broker_url"
  type        = string
  default     = null
}
