package dashboard

import "net/http"

// overview shows what arrives, what leaves, and what is stuck.
func (x *exchange) overview() error {
	data := new(overviewData)
	if err := x.get("status", nil, &data.Status); err != nil {
		return err
	}
	return x.render("overview", http.StatusOK, &Page{Title: "Overview", Nav: "overview", Live: "all", Data: data})
}

type overviewData struct {
	Status Status
}

// Fresh reports whether nothing has ever arrived: then the page teaches.
func (d *overviewData) Fresh() bool { return d.Status.Totals.Accepted == 0 }
