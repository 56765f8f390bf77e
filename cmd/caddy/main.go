// Command caddy is the standard Caddy with Sluice, the webhook gateway, built in.
package main

import (
	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	_ "github.com/sluice-webhooks/sluice/caddymodule"
)

func main() {
	caddycmd.Main()
}
