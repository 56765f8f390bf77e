package caddymodule

import (
	"fmt"
	"io"
	"net/http"
)

// postResend takes the edited payload as it is: as the body of the call.
func postResend(w http.ResponseWriter, r *http.Request, g *gateway) error {
	p := newParams(r.URL)
	order := resendOrder{Source: p.text("source"), Destination: p.text("destination"), To: p.text("to"), DryRun: p.boolean("dry_run")}
	if err := p.done(); err != nil {
		return err
	}
	if order.To != "" && order.Destination != "" {
		return fmt.Errorf("%w: want one of destination and to", errBadQuery)
	}
	payload, err := io.ReadAll(&patientReader{r: r.Body, control: http.NewResponseController(w)})
	if err != nil {
		return fmt.Errorf("reading the payload: %w", err)
	}
	if len(payload) == 0 {
		return fmt.Errorf("%w: want the payload as the body", errBadQuery)
	}
	view, err := g.Resend(r.Context(), r.PathValue("id"), order, payload)
	if err != nil {
		return err
	}
	if order.DryRun {
		return writeJSON(w, http.StatusOK, view)
	}
	w.Header().Set("Location", adminPrefix+"events/"+view.ID.String())
	return writeJSON(w, http.StatusCreated, view)
}
