package caddymodule

import (
	"context"
	"time"

	"github.com/sluice-webhooks/sluice/verifiers"
)

// diagnosisTime bounds one diagnosis.
const diagnosisTime = 2 * time.Second

// diagnose finds out why a request was refused, by trying what usually goes wrong: the secrets of other sources and former ones among them.
func (r *refusedRequest) diagnose(ctx context.Context) []verifiers.Finding {
	if r.app == nil || r.NoBody {
		return nil
	}
	h := r.app.source(r.Source)
	if h == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, diagnosisTime)
	defer cancel()
	return h.provider.Diagnose(ctx, r.request(), h.secrets.get(now()), h.suspects()).Findings
}

// suspects are secrets that are not live for the source, but that a sender may have used.
func (h *Handler) suspects() []verifiers.NamedSecret {
	var out []verifiers.NamedSecret
	for _, s := range h.secrets.former() {
		out = append(out, verifiers.NamedSecret{Name: "a secret that this source had before", Previous: true, Secret: s})
	}
	others := h.app.allSources()
	delete(others, h.Name)
	for _, name := range sortedKeys(others) {
		for _, s := range others[name].secrets.get(now()) {
			out = append(out, verifiers.NamedSecret{Name: "source " + name, Secret: s})
		}
	}
	return out
}
