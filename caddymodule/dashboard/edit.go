package dashboard

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
)

// editable is a payload as the form for editing has it; empty if it cannot be edited there: only JSON of which everything is shown can, because a browser changes
// the ends of lines, which mean nothing in JSON.
func editable(p *pane) string {
	var indented bytes.Buffer
	if p.Hidden != "" || p.Masked || p.Cut || p.Binary || p.Size == 0 || json.Indent(&indented, p.Body, "", "  ") != nil {
		return ""
	}
	return indented.String()
}

// resendEvent sends a copy of an event with an edited payload.
func (x *exchange) resendEvent() error {
	id := x.r.PathValue("id")
	payload := x.r.PostForm.Get("payload")
	if !json.Valid([]byte(payload)) {
		return &Problem{Status: http.StatusBadRequest, Code: "bad_request", Detail: "The edited payload is not JSON, so nothing was sent."}
	}
	query := url.Values{}
	if destination := x.r.PostForm.Get("destination"); destination != "" {
		query.Set("destination", destination)
	}
	answer, err := x.ask(Call{Method: http.MethodPost, Path: "events/" + url.PathEscape(id) + "/resend", Query: query, Raw: []byte(payload)})
	if err != nil {
		return err
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer.Body, &made); err != nil {
		return err
	}
	return x.redirect("/events/"+url.PathEscape(made.ID), "Sent as a new event. The one that it was made from stays as it is.")
}
