package caddymodule

import (
	"strings"
	"testing"
)

// TestNothingMatches wants a word where filters leave nothing, and another one if that is because of a name that nothing has.
func TestNothingMatches(t *testing.T) {
	rig := startAdmin(t, "memory", "", "webhook stripe {\n name payments\n secret "+testSecret+"\n forward http://127.0.0.1:1/\n}")
	const hint = "There is no source typo; there are: payments"
	for _, verb := range []string{
		"events", "events --all", "events --json", "replay --dry-run", "replay --detach", "dead", "quarantine", "quarantine list",
		"quarantine release --all", "quarantine drop --all",
	} {
		words := strings.Fields(verb)
		args := append([]string{"--address", "unix/" + rig.socket, "--source"}, "typo")
		o := run(t, append(append([]string{}, words...), args...)...)
		if o.code != exitOK || !strings.Contains(o.stderr, hint) || verb != "dead" && !strings.Contains(o.stderr, "match") {
			t.Errorf("%s: %+v", verb, o)
		}
		args[3] = "payments"
		if o := run(t, append(append([]string{}, words...), args...)...); o.code != exitOK || strings.Contains(o.stderr, "There is no") {
			t.Errorf("%s: %+v", verb, o)
		}
	}
	o := rig.webhooks("events", "--destination", "typo")
	wantParts(t, "destination", o.stderr, "No events match.", "There is no destination typo; there are: payments-127.0.0.1-1")
}
