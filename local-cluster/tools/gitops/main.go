// gitops judges Kubernetes objects as GitOps tools do.
//
// It reads requests as JSON, one a line, and answers each with a line:
//
//	{"object": …}                  what kstatus says of it: the library of Flux and of Helm 4's --wait
//	{"object": …, "script": "…"}   also what a Lua script returns for it, run as Argo CD runs health checks and actions
//	{"object": …, "strict": true}  also whether the Go types of Flux know all of its fields
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

type request struct {
	Object json.RawMessage `json:"object"`
	Script string          `json:"script"`
	Strict bool            `json:"strict"`
}

type answer struct {
	Kstatus string `json:"kstatus,omitempty"`
	Message string `json:"message,omitempty"`
	Lua     any    `json:"lua,omitempty"`
	Fault   string `json:"fault,omitempty"`
}

// Argo CD gives a script one second.
const scriptSeconds = 1

func main() {
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(in io.Reader, out io.Writer) error {
	decoder := json.NewDecoder(bufio.NewReader(in))
	encoder := json.NewEncoder(out)
	for {
		var asked request
		if err := decoder.Decode(&asked); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		said, err := judge(asked)
		if err != nil {
			said.Fault = err.Error()
		}
		if err := encoder.Encode(said); err != nil {
			return err
		}
	}
}

func judge(asked request) (said answer, err error) {
	object := &unstructured.Unstructured{}
	// Whole numbers become int64, as when a client reads them: kstatus looks for that type.
	if err := object.UnmarshalJSON(asked.Object); err != nil {
		return said, err
	}
	computed, err := status.Compute(object)
	if err != nil {
		return said, err
	}
	said.Kstatus, said.Message = computed.Status.String(), computed.Message
	if asked.Strict {
		if err := checkFields(object, asked.Object); err != nil {
			return said, err
		}
	}
	if asked.Script != "" {
		said.Lua, err = run(asked.Script, object.Object)
	}
	return said, err
}

// run calls a script with the object as the global `obj`, and with no library but those that Argo CD opens for scripts
// of argocd-cm: none for strings or files, of os only the times.
func run(script string, object map[string]any) (any, error) {
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	limited, cancel := context.WithTimeout(context.Background(), scriptSeconds*time.Second)
	defer cancel()
	state.SetContext(limited)
	libraries := []struct {
		name string
		open lua.LGFunction
	}{{lua.LoadLibName, lua.OpenPackage}, {lua.BaseLibName, lua.OpenBase}, {lua.TabLibName, lua.OpenTable}}
	for _, library := range libraries {
		call := lua.P{Fn: state.NewFunction(library.open), Protect: true}
		if err := state.CallByParam(call, lua.LString(library.name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, onlyTimes)
	state.SetGlobal("obj", toLua(state, object))
	before := state.GetTop()
	if err := state.DoString(script); err != nil {
		return nil, err
	}
	if state.GetTop() == before {
		return nil, errors.New("the script returns nothing")
	}
	return fromLua(state.Get(-1)), nil
}

func onlyTimes(state *lua.LState) int {
	times := state.NewTable()
	times.RawSetString("time", state.NewFunction(func(state *lua.LState) int {
		state.Push(lua.LNumber(time.Now().Unix()))
		return 1
	}))
	times.RawSetString("date", state.NewFunction(func(state *lua.LState) int {
		state.Push(lua.LString(time.Now().UTC().Format(time.RFC3339)))
		return 1
	}))
	state.Push(times)
	return 1
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case string:
		return lua.LString(value)
	case []any:
		table := state.CreateTable(len(value), 0)
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.CreateTable(0, len(value))
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua makes an array of an empty table, since Lua does not tell it from an empty object; so does Argo CD.
func fromLua(value lua.LValue) any {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value)
	case lua.LNumber:
		return float64(value)
	case lua.LString:
		return string(value)
	case *lua.LTable:
		key, _ := value.Next(lua.LNil)
		if key == lua.LNil || key.Type() == lua.LTNumber {
			items := make([]any, 0, value.Len())
			value.ForEach(func(_, item lua.LValue) { items = append(items, fromLua(item)) })
			return items
		}
		fields := map[string]any{}
		value.ForEach(func(key, item lua.LValue) { fields[key.String()] = fromLua(item) })
		return fields
	}
	return nil
}
