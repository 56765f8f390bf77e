package dashboard

import (
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
)

// cleanQuery returns the parameters of a page's address without empty ones, which forms send along.
func cleanQuery(query url.Values) url.Values {
	clean := url.Values{}
	for name, values := range query {
		for _, value := range values {
			if value != "" {
				clean.Add(name, value)
			}
		}
	}
	return clean
}

// filterForm is a form of filters: what is chosen, and what there is to choose from.
type filterForm struct {
	Values       url.Values
	Sources      []string
	Destinations []string

	Refused string // what is wrong with what was chosen
}

// Get returns the value of a filter.
func (f *filterForm) Get(name string) string { return f.Values.Get(name) }

// Has reports whether a filter has a value.
func (f *filterForm) Has(name, value string) bool { return slices.Contains(f.Values[name], value) }

// Active reports whether anything is filtered.
func (f *filterForm) Active() bool {
	for name := range f.Values {
		if name != "cursor" && name != "limit" {
			return true
		}
	}
	return false
}

// With is the query with some parameters set, or removed where the value is empty; the cursor goes, because it belongs to the filter it came with.
func (f *filterForm) With(pairs ...string) template.URL {
	query := url.Values{}
	for name, values := range f.Values {
		if name != "cursor" {
			query[name] = values
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if query.Del(pairs[i]); pairs[i+1] != "" {
			query.Set(pairs[i], pairs[i+1])
		}
	}
	return template.URL(query.Encode()) //nolint:gosec // encoded: templates must not encode it once more
}

// filterForm reads the filters of this page's address and the names to choose from.
func (x *exchange) filterForm() (*filterForm, error) {
	f := &filterForm{Values: cleanQuery(x.r.URL.Query())}
	var sources struct {
		Sources []struct {
			Name string `json:"name"`
		} `json:"sources"`
	}
	if err := x.get("sources", nil, &sources); err != nil {
		return nil, err
	}
	for _, s := range sources.Sources {
		f.Sources = append(f.Sources, s.Name)
	}
	var destinations struct {
		Destinations []struct {
			Name string `json:"name"`
		} `json:"destinations"`
	}
	if err := x.get("destinations", nil, &destinations); err != nil {
		return nil, err
	}
	for _, d := range destinations.Destinations {
		f.Destinations = append(f.Destinations, d.Name)
	}
	return f, nil
}

// list reads what a page lists by its filters, and says with which status the page is answered. What is wrong with a filter is shown above the form, which keeps what
// was chosen.
func (x *exchange) list(path string, form *filterForm, out any) (status int, err error) {
	return form.refused(x.get(path, form.Values, out))
}

// refused keeps an error that a better choice mends.
func (f *filterForm) refused(err error) (status int, other error) {
	var problem *Problem
	if errors.As(err, &problem) && problem.Status == http.StatusBadRequest {
		f.Refused = problem.Detail
		return http.StatusBadRequest, nil
	}
	return http.StatusOK, err
}
