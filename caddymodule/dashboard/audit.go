package dashboard

import (
	"html/template"
	"net/http"
)

// audit lists who changed what.
func (x *exchange) audit() error {
	data := &auditData{Filter: &filterForm{Values: cleanQuery(x.r.URL.Query())}}
	if err := x.get("audit", data.Filter.Values, &data.Page); err != nil {
		return err
	}
	return x.render("audit", http.StatusOK, &Page{Title: "Audit log", Nav: "audit", Data: data})
}

type auditData struct {
	Filter *filterForm
	Page   AuditPage
}

// Next is the query of the next page.
func (d *auditData) Next() template.URL { return d.Filter.With("cursor", d.Page.Next) }
