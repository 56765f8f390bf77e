package caddymodule

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/sluice-webhooks/sluice/caddymodule/sender"
	"github.com/sluice-webhooks/sluice/verifiers"
)

// show prints the request in place of sending it.
func (f *sendFlags) show(w io.Writer, m *sender.Message) error {
	for range f.count {
		r, err := f.build(m)
		if err != nil {
			return err
		}
		var text []byte
		if f.print == "curl" {
			var line string
			line, err = sender.Curl(r, m.To)
			text = []byte(line)
		} else {
			text, err = sender.HTTPText(r, m.To)
		}
		if err != nil {
			return err
		}
		if f.print == "curl" || f.count > 1 {
			text = append(text, '\n')
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
	}
	return nil
}

// sendResult is what became of one event, in JSON.
type sendResult struct {
	Provider  string  `json:"provider"`
	Scheme    string  `json:"scheme"`
	EventID   string  `json:"event_id,omitempty"`
	Type      string  `json:"type,omitempty"`
	Accepted  bool    `json:"accepted"`
	Status    int     `json:"status,omitempty"`
	Forged    int     `json:"forged_status,omitempty"` // answer to the same kind of event, signed with another secret
	LatencyMS float64 `json:"latency_ms,omitempty"`
	Body      string  `json:"body,omitempty"`
	Note      string  `json:"note,omitempty"` // why nothing was sent, or what went wrong
}

// newSendResult names the event. What the provider itself could not read (a body of the user's own) has no name.
func newSendResult(p *verifiers.Provider, r *verifiers.Request, answer sender.Answer) sendResult {
	result := sendResult{
		Provider: p.Spec().ID, Scheme: p.Spec().Scheme, Accepted: answer.Accepted(), Status: answer.Status,
		LatencyMS: float64(answer.Latency.Microseconds()) / 1000, Body: string(answer.Body),
	}
	if identities, err := p.Identify(r, false); err == nil {
		result.EventID, result.Type = identities[0].EventID, identities[0].Type
	}
	return result
}

// answer prints what became of one event.
func (f *sendFlags) answer(out *screen, m *sender.Message, r *verifiers.Request, answer sender.Answer) error {
	result := newSendResult(m.Provider, r, answer)
	if f.json {
		return json.NewEncoder(out).Encode(result)
	}
	color := green
	if !result.Accepted {
		color = red
	}
	out.printf("%s %s  %s %s  in %.1f ms\n", out.paint(color, fmt.Sprint(answer.Status)), http.StatusText(answer.Status),
		printable(result.Type), printable(result.EventID), result.LatencyMS)
	if body := strings.TrimSpace(result.Body); body != "" {
		out.printf("    %s\n", printable(body))
	}
	return nil
}
