package caddymodule

import (
	"fmt"
	"time"
)

// print says it in words.
func (v *verdict) print(out *screen) {
	switch {
	case v.Handshake:
		out.printf("%s: a handshake, which the gateway answers and which is no event\n", out.paint(green, "verifies"))
	case v.Verifies:
		out.printf("%s%s\n", out.paint(green, "verifies"), v.grounds())
		for _, e := range v.Events {
			out.printf("  event %s", printable(e.EventID))
			if e.Type != "" {
				out.printf(" of type %s", printable(e.Type))
			}
			if e.Subject != "" {
				out.printf(" about %s", printable(e.Subject))
			}
			switch e.DedupKey {
			case e.EventID:
			case "":
				out.printf(", never taken for a duplicate")
			default:
				out.printf(", dedup key %s", printable(e.DedupKey))
			}
			out.printf("\n")
		}
	default:
		out.printf("%s: %s\n", out.paint(red, "does not verify"), printable(v.Error))
		for _, finding := range v.Findings {
			kind := out.paint(dim, "  perhaps ")
			if finding.Proved {
				kind = out.paint(bold, "  because ")
			}
			out.printf("%s%s\n", kind, printable(finding.Text))
		}
		if len(v.Findings) == 0 && v.Reason == "mismatch" {
			out.printf("%snone of what usually goes wrong explains it: most likely the secret is another one, or the body was changed\n", out.paint(dim, "  "))
		}
	}
}

// grounds says what it verifies by.
func (v *verdict) grounds() string {
	if v.Unsigned {
		return ": but its provider signs nothing, so anybody could have made it"
	}
	words := ""
	if v.Secret > 0 {
		words = fmt.Sprintf(": made with secret %d", v.Secret)
	}
	if v.SignedAt.IsZero() {
		return words
	}
	words += ", signed at " + v.SignedAt.UTC().Format(time.RFC3339)
	if v.Arrived.IsZero() {
		return words + " (the tolerance was left out: --at says when it arrived)"
	}
	return words
}
