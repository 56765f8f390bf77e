package caddymodule

import (
	"fmt"
	"strings"

	"github.com/caddyserver/caddy/v2"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// Dedup says which events of a source are the same.
type Dedup struct {
	// Nothing is a duplicate.
	Off bool `json:"off,omitempty"`
	// For how long an event is remembered. Default: the provider's.
	Window caddy.Duration `json:"window,omitempty"`
	// Expressions whose values together tell an event. Default: the provider's.
	By []string `json:"by,omitempty"`
}

// by reads what tells an event. What is the same for all events of a source does not: the first would make duplicates of all others.
func (d *Dedup) by() (verifiers.Expr, error) {
	expr, err := parseExprs(d.By)
	if err == nil && !expr.Distinguishes() {
		err = fmt.Errorf("expression %q may be the same for all events: want one that reads an event's id, such as header:X-Id or json:id", expr.String())
	}
	if err != nil {
		return verifiers.Expr{}, fmt.Errorf("dedup by: %w", err)
	}
	return expr, nil
}

// parseExprs joins expressions to a composite one.
func parseExprs(texts []string) (verifiers.Expr, error) {
	return verifiers.ParseExpr(strings.Join(texts, " "))
}
