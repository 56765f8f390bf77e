package verifiers

// Place is one of a request that an expression reads.
type Place struct {
	// Kind is how expressions name it: json, form, header, raw, ...
	Kind string
	// Name is of the header, field or path; empty for those that have none.
	Name string
	// Funcs are the functions applied to it in turn, as they are written; empty if there are none.
	Funcs string
}

// placeKinds are the names of places in expressions.
var placeKinds = func() map[place]string {
	kinds := map[place]string{}
	for name, p := range barePlaces {
		kinds[p] = name
	}
	for name, p := range prefixedPlaces {
		kinds[p] = name
	}
	return kinds
}()

// Places returns all that the expression may read.
func (e Expr) Places() []Place {
	var places []Place
	for _, terms := range e.alternatives {
		for _, t := range terms {
			places = append(places, Place{Kind: placeKinds[t.source.place], Name: t.source.name, Funcs: t.chain})
		}
	}
	return places
}
