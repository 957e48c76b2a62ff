package dragon

import (
	"math"
	"testing"
)

func TestEveryNumberButUnknownIsKnown(t *testing.T) {
	if v, known := (Number{}).Get(); known || v != 0 {
		t.Errorf("the zero Number is %v", v)
	}
	if (Number{}).Or(7) != 7 || (Number{}).Times(2) != (Number{}) {
		t.Error("unknown is counted with")
	}
	for _, want := range []float64{0, math.Copysign(0, -1), 1, -1, 5205000.75e6, math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.NaN()} {
		n := Known(want)
		got, known := n.Get()
		if !known || !n.IsKnown() || math.Float64bits(got) != math.Float64bits(want) {
			t.Errorf("%v became %v, known %t", want, got, known)
		}
		if math.Float64bits(n.Or(7)) != math.Float64bits(want) {
			t.Errorf("%v or something else is %v", want, n.Or(7))
		}
	}
	if n := Known(3).Times(2); n != Known(6) {
		t.Errorf("twice three is %v", n)
	}
}
