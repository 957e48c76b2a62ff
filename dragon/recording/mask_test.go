package recording

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestMasks(t *testing.T) {
	for in, want := range map[string]string{
		`{"pools":[{"url":"a","user":"farm.rig-7","pass":"x"}]}`:  `{"pools":[{"url":"a","user":"user-1","pass":"masked"}]}`,
		`{"success":false,"token":"expired","user":"","pass":""}`: `{"success":false,"token":"expired","user":"","pass":""}`,

		// What is not a string is masked as what it is.
		`{"pass":123456,"user":99887,"a":1}`:             `{"pass":0,"user":0,"a":1}`,
		`{"pass":-1.5e3}`:                                `{"pass":0}`,
		`{"pass":null,"user":true,"token":false}`:        `{"pass":null,"user":true,"token":false}`,
		`{"pass":["ab",12,{"c":"de"}],"f":[1,"g"]}`:      `{"pass":["masked",0,{"masked":"masked"}],"f":[1,"g"]}`,
		`{"users" : { "me": [ "you", "me" ] }, "f": 1}`:  `{"users" : { "user-1": [ "user-2", "user-1" ] }, "f": 1}`,
		`{"pass":"a\\","b":"c\"d","pwd":"e\\\"f","g":1}`: `{"pass":"masked","b":"c\"d","pwd":"masked","g":1}`,

		// JSON in JSON, form fields, messages, and what is not JSON at all.
		`{"m":"{\"user\":\"farm.x\",\"pass\":12}","n":1}`:       `{"m":"{\"user\":\"user-1\",\"pass\":0}","n":1}`,
		`{"m":"{\"a\":\"{\\\"user\\\":\\\"farm.x\\\"}\"}"}`:     `{"m":"{\"a\":\"{\\\"user\\\":\\\"user-1\\\"}\"}"}`,
		`Pool1=u&UserName1=farm.x&Password1=hunter2`:            `Pool1=u&UserName1=user-1&Password1=masked`,
		`{"message":"invalid user: farm.x"}`:                    `{"message":"invalid user: user-1"}`,
		`x"{"user":"farm.x"}`:                                   `x"{"user":"user-1"}`,
		`{'user': 'farm.x', 'pass' : 'hunter2'}`:                `{'user': 'user-1', 'pass' : 'masked'}`,
		`<input type="password" name="user"><b class="u">a</b>`: `<input type="password" name="user"><b class="u">a</b>`,
		`{"pass":`:                `{"pass":`,
		`{"user":"farm.x`:         `{"user":"user-1`,
		`{"pass":["a","b`:         `{"pass":["masked","masked`,
		`{"pass":<html>"`:         `{"pass":<html>"`,
		`{"token":eyJhb.eyJh.abc`: `{"token":masked`,

		// MACs as devices and people write them.
		`{"ethaddr":"a0: b0:45:21:5b: f0"}`:                     `{"ethaddr":"a0: b0:45:d0:00: 01"}`,
		`A0-B0-45-00-AD-E5 a0b0.4500.ade5`:                      `A0-B0-45-D0-00-01 a0b0.45d0.0001`,
		`{"id":"A0B04500ADE5\nA0B04500ADE5_eth0"}`:              `{"id":"A0B045D00001\nA0B045D00001_eth0"}`,
		`"mac":"001122334455","Total MH":232701195123`:          `"mac":"001122D00001","Total MH":232701195123`,
		`"host":"dragon-4500ade5","mac":"a0:b0:45:00:ad:e5"`:    `"host":"dragon-45d00001","mac":"a0:b0:45:d0:00:01"`,
		`"mac":"a0:b0:45:00:ad:e5","host":"Dragon-0ADE5"`:       `"mac":"a0:b0:45:d0:00:01","host":"Dragon-00001"`,
		`"mac":"a0:b0:45:00:ad:e5","id":"00ade5","t":"facade"}`: `"mac":"a0:b0:45:d0:00:01","id":"d00001","t":"facade"}`,
		`"host":"dragon-0ade5"}`:                                `"host":"dragon-00000"}`,
		`up 2018-05-15 06:08:42, t1_20180515_060842`:            `up 2018-05-15 06:08:42, t1_20180515_060842`,

		// Logins in URLs hold what they like.
		`{"url":"stratum+tcp://us/er:p@ss/w@pool:3333/x"}`:                     `{"url":"stratum+tcp://masked@pool:3333/x"}`,
		`{"url":"stratum+tcp:\/\/us\/er:p@ss@pool:3333"}`:                      `{"url":"stratum+tcp:\/\/masked@pool:3333"}`,
		`{"Stratum URL":"us er:p w@pool","b":"x@y"}`:                           `{"Stratum URL":"masked@pool","b":"x@y"}`,
		`{"Pool1":"us er:p w@pool"}`:                                           `{"Pool1":"masked@pool"}`,
		`{"m":"cannot reach stratum+tcp://us/er:p@ss@pool"}`:                   `{"m":"cannot reach stratum+tcp://masked@pool"}`,
		`{"url":"http://pool.example.org","a":"m@e"}`:                          `{"url":"http://pool.example.org","a":"m@e"}`,
		`{"url":"tcp://customer:hunter22@a","m":"customer said hunter22"}`:     `{"url":"tcp://masked@a","m":"masked said masked"}`,
		`{"ip":"10.1.0.25","gw":"10.1.0.25\n10.1.0.1","mask":"255.255.252.0"}`: `{"ip":"192.0.2.1","gw":"192.0.2.1\n192.0.2.2","mask":"255.255.252.0"}`,

		// What ends within a string ends before what may be told.
		`{"mac":"a0:b0:45:00:ad:`:          `{"mac":"a0:b0:45:`,
		`{"mac":"A0B04500AD`:               `{"mac":"A0B045`,
		`{"host":"dragon-45`:               `{"host":"dragon-`,
		`{"ip":"10.1.0.`:                   `{"ip":"`,
		`{"url":"stratum+tcp:\/\/us\/er:p`: `{"url":"stratum+tcp:\/\/masked`,
	} {
		m := newMasker()
		m.mask(in)
		got := m.mask(in)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
		if again := m.mask(got); again != got {
			t.Errorf("%s\nmasked again is %s", got, again)
		}
		if again := newMasker().mask(got); again != got {
			t.Errorf("%s\nmasked afresh is %s", got, again)
		}
	}
}

// A text that ends anywhere holds no beginning of a secret either.
func TestNothingOfASecretIsLeftWhereverATextEnds(t *testing.T) {
	const body = `{"pools":[{"url":"stratum+tcp:\/\/zecret.a:zecret@pool.example.org","user":"zecret.rig","pass":"zecret-pool"},{"user":77123456,"pass":["zecret",77123]}],` +
		`"mac":"a0:b0:45:de:ad:77","bare":"A0B045DEAD77","name":"dragon-45dead77","ip":"10.77.12.13","m":"{\"user\":\"zecret.rig\"}","jwt":"eyJ0eXAi.eyJpc3Mi.zecret"}`
	step := 1
	if testing.Short() {
		step = 7
	}
	for n := 0; n <= len(body); n += step {
		m := newMasker()
		m.mask(body[:n])
		got := m.mask(body[:n])
		for _, secret := range []string{"zec", "771", "77\"", ".77", "de:", "dead", "DE", "10.", "eyJ0"} {
			if strings.Contains(got, secret) {
				t.Errorf("%s\nholds %q: %s", body[:n], secret, got)
			}
		}
	}
}

func TestWhatOneAnswerGivesAwayIsMaskedInEveryOther(t *testing.T) {
	m := newMasker()
	before := `{"log":["login of zecret.rig with zecret\/w\u00f6rd","{\"m\":\"zecret\\/w\\u00f6rd\"}","by zecret"],"zecret.rig":{"n":7654321,"m":76543210}}`
	m.mask(before)
	m.mask(`{"user":"zecret.rig","pass":"zecret\/w\u00f6rd","pin_secret":7654321}`)
	want := `{"log":["login of user-1 with masked","{\"m\":\"masked\"}","by user-1"],"user-1":{"n":0,"m":76543210}}`
	if got := m.mask(before); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// FuzzKnownSecrets: whatever a body looks like, wherever a secret stands in it, and
// wherever the body ends, nothing of the secret is left.
func FuzzKnownSecrets(f *testing.F) {
	f.Add(`{"a":[1,{"b":"c"}],"d":{}}`, "hunter2", "Password", 3, 0, 1000)
	f.Add(`[[["x"]]]`, `p/w@"\é`, "pool_user", 1, 1, 40)
	f.Add(`{"a":"b"}`, "12345678", "jwt", 0, 2, 30)
	f.Add(`"only text"`, "a b,c}", "worker", 0, 3, 25)
	f.Add(`{"a":"user:"}`, "'", "TOKEN", 1, 4, 1)
	f.Fuzz(func(t *testing.T, shape, tail, name string, where, form, end int) {
		const mark = "§Zq9§" // in JSON as PHP writes it: \u00a7Zq9\u00a7
		var body any
		if json.Unmarshal([]byte(shape), &body) != nil || strings.Contains(shape+name, "Zq9") || len(tail) > mostLong/3 {
			t.Skip()
		}
		if k := kindOf(name); k != secret && k != user {
			name += []string{"user", "pass"}[len(name)%2]
		}
		known := mark + strings.ReplaceAll(strings.ToValidUTF8(tail, ""), "§", "") + mark
		var planted any
		switch form & 3 {
		case 0:
			planted = map[string]any{name: known}
		case 1:
			planted = map[string]any{name: []any{1, known, map[string]any{known: known}}}
		case 2: // JSON in JSON
			inner, _ := json.Marshal(map[string]any{name: known})
			planted = string(inner)
		case 3: // and where no key says what it is
			planted = []any{map[string]any{name: known}, known, map[string]any{known: "before " + known + " after"}}
		}
		text, err := json.Marshal(plant(body, planted, &where))
		if err != nil {
			t.Fatal(err)
		}
		m := newMasker()
		m.mask(string(text))
		got := m.mask(string(text))
		if !json.Valid([]byte(got)) {
			t.Errorf("%s\nis no JSON any more: %s", text, got)
		}
		if again := m.mask(got); again != got {
			t.Errorf("%s\nmasked again is %s", got, again)
		}
		whole := got
		if form&3 != 3 {
			if n := len(text); end >= 0 && end < n {
				m := newMasker()
				got += m.mask(string(text[:end]))
			}
		}
		if strings.Contains(got, "Zq9") {
			t.Errorf("%s\nmasked is %s\nand cut at %d %s", text, whole, end, strings.TrimPrefix(got, whole))
		}
		_ = newMasker().mask(shape) // whatever it is
	})
}

// plant puts what into the place-th position of a tree: for a value, into an array
// behind an element, or under a key of an object.
func plant(body, what any, place *int) any {
	if *place <= 0 {
		*place = 1 << 30
		return []any{body, what}
	}
	*place--
	switch v := body.(type) {
	case []any:
		for i := range v {
			v[i] = plant(v[i], what, place)
		}
		return append(v, what)
	case map[string]any:
		v[fmt.Sprint("planted", *place)] = what
	}
	return body
}
