package dragon

import (
	"encoding/json"
	"math"
)

// Number is a number that a dragon reported, or the fact that it reported none:
// unknown is not zero. The zero Number is unknown.
type Number struct {
	value float64
	known bool
}

// Known returns the Number v.
func Known(v float64) Number { return Number{v, true} }

// Get returns the value and whether it is known.
func (n Number) Get() (value float64, known bool) { return n.value, n.known }

// IsKnown reports whether there is a value.
func (n Number) IsKnown() bool { return n.known }

// Or returns the value, or other where it is unknown.
func (n Number) Or(other float64) float64 {
	if n.known {
		return n.value
	}
	return other
}

// Times returns the value multiplied by f; unknown stays unknown.
func (n Number) Times(f float64) Number {
	n.value *= f
	return n
}

// MarshalJSON writes null where the value is unknown.
func (n Number) MarshalJSON() ([]byte, error) {
	if !n.known || math.IsNaN(n.value) || math.IsInf(n.value, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(n.value)
}

// UnmarshalJSON reads null as unknown.
func (n *Number) UnmarshalJSON(data []byte) error {
	var v *float64
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*n = Number{}
	if v != nil {
		*n = Known(*v)
	}
	return nil
}
