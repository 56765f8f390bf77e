// Package caddymodule makes Sluice a Caddy plugin: configuration, lifecycle and translation, and no business rule.
package caddymodule
