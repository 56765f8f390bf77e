package caddymodule

import "net/http"

func getDoctor(w http.ResponseWriter, r *http.Request, g *gateway) error {
	if err := newParams(r.URL).done(); err != nil {
		return err
	}
	result, err := g.Doctor(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, result)
}
