fn main() {
    for crd in nsq_operator::api::all_crds().expect("crds") {
        println!(
            "---\n{}",
            nsq_operator::api::crd_to_yaml(&crd).expect("yaml")
        );
    }
}
