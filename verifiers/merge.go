package verifiers

import (
	"maps"
	"reflect"
)

// Merge returns a Spec that is s with every field that override sets: lists replace lists, Values are added one by one, structures are merged field by field.
// A field of override that is zero sets nothing. Neither s nor override is changed. Identity fields (id, name, docs) are taken like all others; vectors of s
// are dropped if override changes how requests are signed, because they prove nothing about the result.
func (s *Spec) Merge(override *Spec) *Spec {
	out := *s
	if override == nil {
		return &out
	}
	if override.changesSigning() {
		out.Vectors = nil
	}
	values := make(map[string]string, len(s.Values)+len(override.Values))
	maps.Copy(values, s.Values)
	maps.Copy(values, override.Values)
	mergeStruct(reflect.ValueOf(&out).Elem(), reflect.ValueOf(override).Elem())
	out.Values = nil
	if len(values) > 0 {
		out.Values = values
	}
	return &out
}

// changesSigning tells whether an override touches anything that vectors prove.
func (s *Spec) changesSigning() bool {
	return s.Scheme != "" || s.Custom != "" || s.Algorithm != "" || s.AlgorithmBy != nil || s.Padding != "" || s.Prehash != "" ||
		!reflect.ValueOf(s.Key).IsZero() || s.KeySource != nil || !reflect.ValueOf(s.Signature).IsZero() || len(s.Signed) > 0 ||
		s.MessageID != "" || s.Timestamp.In != "" || s.JWT != nil || len(s.Checks) > 0
}

// mergeStruct sets the fields of dst that are not zero in src. Pointers to structures are copied before they are merged, so that nothing is shared.
func mergeStruct(dst, src reflect.Value) {
	for i := range src.NumField() {
		from, to := src.Field(i), dst.Field(i)
		switch {
		case from.IsZero():
		case from.Kind() == reflect.Struct:
			mergeStruct(to, from)
		case from.Kind() == reflect.Pointer && from.Elem().Kind() == reflect.Struct && !to.IsNil():
			merged := reflect.New(from.Elem().Type())
			merged.Elem().Set(to.Elem())
			mergeStruct(merged.Elem(), from.Elem())
			to.Set(merged)
		default:
			to.Set(from)
		}
	}
}
