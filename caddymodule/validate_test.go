package caddymodule

import (
	"encoding/json"

	"github.com/caddyserver/caddy/v2"
)

// validate provisions a configuration as `caddy validate` does.
func validate(config []byte) error {
	var c caddy.Config
	if err := json.Unmarshal(config, &c); err != nil {
		return err
	}
	return caddy.Validate(&c)
}
