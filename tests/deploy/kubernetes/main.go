// kubernetes reads objects in YAML from stdin and says what an API server of Kubernetes 1.37 would not take: fields that do not exist,
// values that its own validation refuses, and pods that a namespace with the policy "restricted" would not admit. Each problem is a line on
// stdout, and the exit code is 1 where there is one; of what was sound it prints the kind and the name. With --json it checks nothing and
// prints the objects as a JSON list.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/util/validation/field"
	yamlstream "k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
	podoptions "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/apps"
	_ "k8s.io/kubernetes/pkg/apis/apps/install"
	appsvalidation "k8s.io/kubernetes/pkg/apis/apps/validation"
	"k8s.io/kubernetes/pkg/apis/core"
	_ "k8s.io/kubernetes/pkg/apis/core/install"
	corevalidation "k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

// What objects without a namespace of their own get from who installs them.
const namespace = "default"

// Of the objects that the server itself knows. A kind that is not here is a problem: it would go by unseen.
func validate(object runtime.Object) (field.ErrorList, error) {
	switch o := object.(type) {
	case *apps.StatefulSet:
		o.Namespace = namespace
		return appsvalidation.ValidateStatefulSet(o, appsvalidation.StatefulSetValidationOptions{},
			podoptions.GetValidationOptionsFromPodTemplate(&o.Spec.Template, nil)), nil
	case *core.Pod:
		o.Namespace = namespace
		return corevalidation.ValidatePodCreate(o, podoptions.GetValidationOptionsFromPodSpecAndMeta(&o.Spec, nil, &o.ObjectMeta, nil)), nil
	case *core.Service:
		o.Namespace = namespace
		if o.Spec.ClusterIP != "" && len(o.Spec.ClusterIPs) == 0 {
			o.Spec.ClusterIPs = []string{o.Spec.ClusterIP} // as an API server does before it looks
		}
		return corevalidation.ValidateServiceCreate(o), nil
	case *core.ServiceAccount:
		o.Namespace = namespace
		return corevalidation.ValidateServiceAccount(o), nil
	case *core.ConfigMap:
		o.Namespace = namespace
		return corevalidation.ValidateConfigMap(o), nil
	case *networking.NetworkPolicy:
		o.Namespace = namespace
		return networkingvalidation.ValidateNetworkPolicy(o, networkingvalidation.NetworkPolicyValidationOptions{}), nil
	}
	return nil, fmt.Errorf("no check for %T", object)
}

// What the policy "restricted" says of a pod.
func restricted(meta *metav1.ObjectMeta, spec *corev1.PodSpec) ([]string, error) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return nil, err
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	var problems []string
	for _, result := range evaluator.EvaluatePod(level, meta, spec) {
		if !result.Allowed {
			problems = append(problems, fmt.Sprintf("restricted: %s: %s", result.ForbiddenReason, result.ForbiddenDetail))
		}
	}
	return problems, nil
}

func problemsOf(document []byte) (string, []string) {
	var kind metav1.PartialObjectMetadata
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return "?", []string{err.Error()}
	}
	name := kind.Kind + "/" + kind.Name
	// The objects of Prometheus's operator, of which only the fields can be known.
	others := map[string]any{"ServiceMonitor": &monitoring.ServiceMonitor{}, "PrometheusRule": &monitoring.PrometheusRule{}}
	if object, known := others[kind.Kind]; known && kind.APIVersion == "monitoring.coreos.com/v1" {
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return name, []string{err.Error()}
		}
		return name, nil
	}
	strict := serializer.NewCodecFactory(legacyscheme.Scheme, serializer.EnableStrict)
	external, _, err := strict.UniversalDeserializer().Decode(document, nil, nil)
	if err != nil {
		return name, []string{err.Error()}
	}
	legacyscheme.Scheme.Default(external)
	internal, err := legacyscheme.Scheme.UnsafeConvertToVersion(external.DeepCopyObject(), runtime.InternalGroupVersioner)
	if err != nil {
		return name, []string{err.Error()}
	}
	list, err := validate(internal)
	if err != nil {
		return name, []string{err.Error()}
	}
	var problems []string
	for _, one := range list {
		problems = append(problems, one.Error())
	}
	var more []string
	switch o := external.(type) {
	case *appsv1.StatefulSet:
		more, err = restricted(&o.Spec.Template.ObjectMeta, &o.Spec.Template.Spec)
	case *corev1.Pod:
		more, err = restricted(&o.ObjectMeta, &o.Spec)
	}
	if err != nil {
		more = append(more, err.Error())
	}
	return name, append(problems, more...)
}

// The documents of a stream that are more than comments.
func read(stream io.Reader) ([][]byte, error) {
	reader := yamlstream.NewYAMLReader(bufio.NewReader(stream))
	var documents [][]byte
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, err
		}
		var content any
		if yaml.Unmarshal(document, &content) != nil || content != nil {
			documents = append(documents, bytes.TrimSpace(document))
		}
	}
}

// The exit code.
func check(documents [][]byte) int {
	code := 0
	for _, document := range documents {
		name, problems := problemsOf(document)
		for _, problem := range problems {
			code = 1
			fmt.Printf("%s: %s\n", name, problem)
		}
		if len(problems) == 0 {
			fmt.Println(name)
		}
	}
	if len(documents) == 0 {
		fmt.Println("no objects")
		return 1
	}
	return code
}

func printJSON(documents [][]byte) int {
	var objects []json.RawMessage
	for _, document := range documents {
		object, err := yaml.YAMLToJSON(document)
		if err != nil {
			fmt.Println(err)
			return 1
		}
		objects = append(objects, object)
	}
	if err := json.NewEncoder(os.Stdout).Encode(objects); err != nil {
		return 1
	}
	return 0
}

func main() {
	documents, err := read(os.Stdin)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if len(os.Args) == 2 && os.Args[1] == "--json" {
		os.Exit(printJSON(documents))
	}
	os.Exit(check(documents))
}
