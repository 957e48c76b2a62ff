package dragon

import (
	"encoding/json"
	"math"
)

// Number is a number that a dragon reported, or unknown. Unknown is not zero. The zero
// Number is unknown.
//
// A farm has millions of Numbers, so unknown takes no extra space: it is a NaN that
// arithmetic never produces.
type Number struct{ bits uint64 } // of the value, XOR unknown

const unknown = 0x7ff8_5dc6_1e0b_a7d3

// Known returns the Number v.
func Known(v float64) Number { return Number{math.Float64bits(v) ^ unknown} }

// Bool returns 1 for true and 0 for false.
func Bool(b bool) Number {
	if b {
		return Known(1)
	}
	return Known(0)
}

// Get returns the value and whether it is known. The value of what is unknown is zero.
func (n Number) Get() (value float64, known bool) {
	if n.bits == 0 {
		return 0, false
	}
	return math.Float64frombits(n.bits ^ unknown), true
}

// IsKnown reports whether there is a value.
func (n Number) IsKnown() bool { return n.bits != 0 }

// Or returns the value, or other if it is unknown.
func (n Number) Or(other float64) float64 {
	if v, known := n.Get(); known {
		return v
	}
	return other
}

// Times returns the value multiplied by f; unknown stays unknown.
func (n Number) Times(f float64) Number {
	if v, known := n.Get(); known {
		return Known(v * f)
	}
	return n
}

// MarshalJSON writes null if the value is unknown.
func (n Number) MarshalJSON() ([]byte, error) {
	v, known := n.Get()
	if !known || math.IsNaN(v) || math.IsInf(v, 0) {
		return []byte("null"), nil
	}
	return json.Marshal(v)
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
